-- CT series with slices of 2 mm at most, soft or bone kernels, at least 20 images
SELECT s.PatientID, s.StudyInstanceUID, s.SeriesInstanceUID, s.SeriesDescription,
  min(i.SliceThickness) AS thickness, any_value(i.ConvolutionKernel) AS kernel, count(*) AS images
FROM series s JOIN instances i USING (SeriesInstanceUID)
WHERE s.Modality = 'CT' AND i.SliceThickness <= 2
GROUP BY ALL HAVING images >= 20 ORDER BY thickness, s.PatientID;
